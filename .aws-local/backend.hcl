bucket = "zama-challenge-state-000000000000-eu-west-1"
region = "eu-west-1"
