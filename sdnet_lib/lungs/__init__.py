"""Where the lungs are, and crops of whole cohorts."""
