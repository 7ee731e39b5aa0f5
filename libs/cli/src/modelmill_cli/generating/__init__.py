"""`mill data generate`: rows of questions and answers that a teacher writes about passages."""
