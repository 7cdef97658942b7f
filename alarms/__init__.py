"""How the owner hears of it elsewhere: alerts and pings, sent from one thread that nothing waits for."""
