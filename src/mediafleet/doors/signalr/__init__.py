"""The SignalR door: `/signalrhub`, a hub that clients of ASP.NET Core's SignalR take for one of theirs (decision 0034)."""
