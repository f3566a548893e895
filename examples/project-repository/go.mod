module tally.example/tally

go 1.25.0
