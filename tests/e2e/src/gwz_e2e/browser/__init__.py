"""The dashboards in a real browser: every panel drawn, nothing cut, every link and variable leads where it should."""
