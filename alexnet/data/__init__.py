"""Pictures from disk to batches: decoding, folders and their split, augmentation."""
