"""The list of journeys: what people do at the console from its beginning to its end."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.browser.console_visitor import ConsoleVisitor
from tests.browser.journeys import access, answering, governing, serving, trainings


@dataclass(frozen=True)
class ConsoleJourney:
    """One of them."""

    name: str
    walk: Callable[[ConsoleVisitor], None]

    @property
    def shows(self) -> str:
        """What it shows, in a sentence."""
        return (self.walk.__doc__ or "").strip()


JOURNEYS = (
    ConsoleJourney("sign in where a link leads", access.follow_a_link),
    ConsoleJourney("sign in again after the key was revoked", access.sign_in_again),
    ConsoleJourney("learn which scope is missing", access.lack_a_scope),
    ConsoleJourney("keep language and theme", access.keep_language_and_theme),
    ConsoleJourney("lose the network and have it back", access.lose_the_network),
    ConsoleJourney("make, use and revoke a key", access.make_and_revoke_a_key),
    ConsoleJourney("upload a file and make a dataset", trainings.upload_a_dataset),
    ConsoleJourney("order a training by the form", trainings.order_a_training),
    ConsoleJourney("watch a training to its version", trainings.watch_a_training),
    ConsoleJourney("pause, resume and cancel a job", trainings.steer_a_job),
    ConsoleJourney("run a failed training again", trainings.run_a_failed_training_again),
    ConsoleJourney("compare two trainings", trainings.compare_trainings),
    ConsoleJourney("read an evaluation's rows", trainings.read_an_evaluation),
    ConsoleJourney("trace a version to its dataset", serving.trace_a_version),
    ConsoleJourney("point an alias at versions", serving.point_an_alias),
    ConsoleJourney("talk to a model in the playground", serving.talk_to_a_model),
    ConsoleJourney("ask two models side by side", answering.ask_two_models),
    ConsoleJourney("judge and correct an answer", answering.correct_an_answer),
    ConsoleJourney("try the policy on a text", serving.try_the_policy),
    ConsoleJourney("change the policy and go back", serving.change_the_policy),
    ConsoleJourney("set the tenant's budget", governing.set_the_budget),
    ConsoleJourney("account for usage", governing.account_for_usage),
    ConsoleJourney("read the audit log", governing.read_the_audit_log),
    ConsoleJourney("try a webhook", governing.try_a_webhook),
    ConsoleJourney("limit and suspend a tenant", governing.limit_and_suspend_a_tenant),
    ConsoleJourney("look after the installation", governing.look_after_the_installation),
)
