"""The exercises of the course: a check for each, by chapter, and the quizzes."""
