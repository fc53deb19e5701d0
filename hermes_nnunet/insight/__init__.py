"""What helps people understand a collection or a model.

`inspection` shows what it consists of, `report` what a training gave, `priors` how similar its tasks have become,
`viewer` shows results and validations in the browser. May import prediction, learning, data and core. Hands out facts,
tables, figures, pages and a server to the command line.
"""
