"""The zoo: published weights and data sets, and how they are fetched."""
