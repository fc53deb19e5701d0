from hermes_nnunet.preprocessing.preprocessor import HermesPreprocessor

__all__ = ["HermesPreprocessor"]
