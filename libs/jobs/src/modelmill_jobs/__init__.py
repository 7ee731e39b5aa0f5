"""The job protocol: submit, claim, work, commit and control."""
