"""What runs in the work process of an evaluation: rows, questions, answers, figures. No torch."""
