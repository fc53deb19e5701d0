"""From a trained model and images to segmentations.

Model folders and their members, the passes that a request takes, preparing and running cases, and writing results;
`views` makes the members' model folders. May import learning, planning, data, networks and core. Hands out
`model_folder.read_model_folder`, `passes.choose`, `predictor.HermesPredictor` and `views.write.write_views`; users call
all of it through `hermes_nnunet.HermesModel`.
"""
