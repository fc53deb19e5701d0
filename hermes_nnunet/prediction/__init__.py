"""From a trained model and images to segmentations.

Model folders and their members, the passes that a wish takes, preparing and running cases, and what is written;
`views` makes the members' model folders. May import learning, planning, data, networks and core. Hands out
`model_folder.read_model_folder`, `passes.choose`, `predictor.HermesPredictor` and `views.write.write_views`; the face
of all of it is `hermes_nnunet.HermesModel`.
"""
