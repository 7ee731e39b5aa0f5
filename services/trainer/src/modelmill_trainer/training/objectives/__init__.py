"""Training objectives other than supervised fine-tuning."""
