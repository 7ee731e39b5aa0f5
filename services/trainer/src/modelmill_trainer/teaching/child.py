"""Child process that queries a teacher, started by `ActiveJob.run_child`."""

from modelmill_jobs.child import run_child_main

from modelmill_trainer.teaching.run import teach

if __name__ == "__main__":
    run_child_main(teach)
