"""What Hypothesis draws for the rules of the machine."""

import hypothesis.strategies as st
from modelmill.jobs.v1 import job_pb2 as pb

TENANT_OF = {"k0": "acme", "k1": "acme", "k2": "other"}
"""Keys of jobs; two tenants, so that jobs are taken out of the queue's order, too."""
MAX_WORKERS = 3

awaits = st.one_of(st.integers(0, 12), st.integers(0, 150))
waits = st.sampled_from([0.0, 0.0005, 0.003, 0.03, 0.2, 1.0, 4.0, 9.0])
spans = st.sampled_from([0.1, 1.0, 3.0, 7.0, 20.0])
"""How long a fault lasts, while other things happen."""
workers = st.integers(0, MAX_WORKERS - 1)
owners = st.integers(0, 1)
keys = st.sampled_from(sorted(TENANT_OF))
control_signals = st.sampled_from(
    [pb.JOB_DESIRED_STATE_RUN, pb.JOB_DESIRED_STATE_PAUSE, pb.JOB_DESIRED_STATE_CANCEL]
)
specs = st.fixed_dictionaries(
    {
        "steps": st.integers(1, 7),
        "step_seconds": st.sampled_from([0.01, 0.4, 2.5]),
        "save_every": st.integers(1, 3),
        "failures": st.sampled_from([0, 0, 0, 1, 3]),
        "refuse_at": st.sampled_from([0, 0, 0, 2]),
        "heeds": st.booleans(),
    }
)
