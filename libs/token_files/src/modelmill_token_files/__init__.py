"""Rows as token ids on disk: written once where a dataset is made, read wherever it is trained on.

`token_folder` writes a dataset's `tokens/`, `token_file` reads one split of it, `tokens_plan` says
for which tokenizer it was made, `training_order` is the order in which rows are trained on.
"""
