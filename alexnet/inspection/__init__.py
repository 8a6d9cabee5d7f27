"""Looking at nets and runs."""
