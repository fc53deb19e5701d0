from hermes_nnunet.planning.preprocessing.preprocessor import HermesPreprocessor

__all__ = ["HermesPreprocessor"]
