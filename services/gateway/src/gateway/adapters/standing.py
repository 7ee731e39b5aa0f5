"""Whether a job may still ask in the name of who ordered it."""

from modelmill.gateway.v1.gateway_jobs_pb2 import Authority

from gateway.domain.access import Caller


class StandingOfCallers:
    """What a caller may do later on is what it might when it ordered the job."""

    def caller_of(self, authority: Authority, tenant: str) -> Caller:
        """The caller, as its requests are answered."""
        return Caller(
            tenant=tenant,
            subject=authority.subject,
            scopes=frozenset(authority.scopes),
            key_id=authority.key_id,
            models=frozenset(authority.models) if authority.only_models else None,
        )
