"""What people look at to understand a collection or a model.

`inspection` says what it is made of, `report` what a training gave, `priors` how alike its tasks have become, `viewer`
shows results and validations in the browser. May import prediction, learning, data and core. Hands out facts, tables,
figures, pages and a server to the command line.
"""
