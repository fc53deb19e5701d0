from hermes_nnunet.planning.image_reader_writer import HermesImageIO

__all__ = ["HermesImageIO"]
