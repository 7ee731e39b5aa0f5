"""`mill eval judge`: models that grade answers by a rubric, and their agreement with references."""
