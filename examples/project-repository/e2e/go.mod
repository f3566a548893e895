module tally.example/tally/e2e

go 1.25.0
