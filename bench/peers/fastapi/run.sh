#!/usr/bin/env bash
cd "$(dirname "$0")" && exec .venv/bin/python -m uvicorn app:app --port "$PORT" --workers "${WORKERS:-2}" --log-level error --no-access-log
