"""From predictions to tables, tests and curves: nothing here trains, and nothing here needs torch."""
