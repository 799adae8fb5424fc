"""What a profiler saw, cut into calls. Needs nothing but Python."""


def call_spans(events, markers):
    """From the first start to the last end of what ran behind each marker and before the next.

    `events` are `(name, start, end)` in any order; `markers` are names. A marker with nothing behind it gives nothing.
    """
    spans, current = [], None
    for name, start, end in sorted(events, key=lambda event: event[1]):
        if name in markers:
            current = None
        elif current is None:
            current = [start, end]
            spans.append(current)
        else:
            current[1] = max(current[1], end)
    return [end - start for start, end in spans]
