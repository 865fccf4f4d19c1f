"""Scrapes what the collector's configuration names, and prints how many samples came."""

import json
import os
import signal
import sys
import time
import urllib.request


def main() -> None:
    """Scrape until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # JSON is YAML, too.
    configuration = json.loads(os.environ["AOT_CONFIG_CONTENT"])
    (job,) = configuration["receivers"]["prometheus"]["config"]["scrape_configs"]
    endpoint = configuration["exporters"]["prometheusremotewrite"]["endpoint"]
    (target,) = job["static_configs"][0]["targets"]
    while True:
        with urllib.request.urlopen(f"http://{target}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        samples = sum(not line.startswith("#") for line in lines)
        print(json.dumps({"service": "collector", "samples": samples, "to": endpoint}), flush=True)
        time.sleep(int(job["scrape_interval"].removesuffix("s")))


if __name__ == "__main__":
    main()
