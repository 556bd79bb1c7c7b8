"""COVID-SDNet, its parts, and every system that it is compared with."""
