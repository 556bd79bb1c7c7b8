"""Images, cohorts and splits: what every other package starts from."""
