"""A run says at once what its training gained."""

from modelmill_recipes.run_recipe import learned_words


def test_a_training_that_was_measured_says_base_and_tuned_and_other_jobs_say_nothing() -> None:
    shares = {"accuracy_base": {"mean": 0.429}, "accuracy_tuned": {"mean": 0.964}}
    summary = {**shares, "steps": 40}
    words = learned_words({"result": {"summary": summary}})
    assert words == "base 42.9% -> tuned 96.4% of the test rows"
    assert learned_words({"result": {"summary": {"steps": 40}}}) == ""
    assert learned_words({"result": None}) == ""
