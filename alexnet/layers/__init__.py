"""The layers of AlexNet that torch lacks, has only slowly, or defines differently."""
