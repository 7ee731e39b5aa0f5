"""Names of the metrics, for request validation without numerical libraries."""

PERPLEXITY, BITS_PER_BYTE = "perplexity", "bits_per_byte"
ACCURACY, ACCURACY_NORM, F1 = "accuracy", "accuracy_norm", "f1"
EXACT_MATCH, BLEU, CHRF = "exact_match", "bleu", "chrf"
ROUGE_1, ROUGE_2, ROUGE_L = "rouge1", "rouge2", "rougeL"

OF_LIKELIHOODS = (PERPLEXITY, BITS_PER_BYTE)
"""Need the likelihood of the right answer."""
OF_CHOICES = (ACCURACY, ACCURACY_NORM, F1)
"""Need the likelihoods of all choices."""
OF_TEXTS = (EXACT_MATCH, BLEU, CHRF, ROUGE_1, ROUGE_2, ROUGE_L)
"""Need a generated answer."""
OF_CLASSES = (*OF_CHOICES, EXACT_MATCH)
"""Say how good a classifier is; how likely or how like in letters its label was says nothing."""
MEASURES = (*OF_LIKELIHOODS, *OF_CHOICES, *OF_TEXTS)
SHARES = (*OF_CHOICES, EXACT_MATCH, ROUGE_1, ROUGE_2, ROUGE_L)
"""From 0 to 1, and better the higher: the mean of several of them says something."""

LOWER_IS_BETTER = frozenset(OF_LIKELIHOODS)
