"""The work process that asks a teacher; started by `ActiveJob.run_child`, never by hand."""

from modelmill_jobs.child import run_child_main

from modelmill_trainer.teaching.run import teach

if __name__ == "__main__":
    run_child_main(teach)
