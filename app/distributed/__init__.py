"""Many machines: bulk classification by Ray Data, and serving by Ray Serve. Everything here needs the extra `ray`."""
