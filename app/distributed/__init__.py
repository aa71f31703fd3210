"""Many machines: bulk classification by Ray, and serving by Ray Serve. Everything here needs the extra `ray`."""
