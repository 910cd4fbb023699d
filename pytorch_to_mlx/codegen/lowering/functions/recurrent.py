"""LSTM, GRU and plain recurrent layers with torch's weight order."""

# MLX types tolist() and item() as a list or any number.
# pyright: reportArgumentType=false, reportGeneralTypeIssues=false, reportIndexIssue=false, reportOperatorIssue=false

import mlx.core as mx


def recurrent_step(
    kind: str, gates_x: mx.array, states: list[mx.array], w_hh: mx.array, b_hh, w_hr=None
) -> list[mx.array]:
    """Run one time step from the input's share of the gates; return the new states.

    Shapes: gates_x [B, G·H], states [B, H], w_hh [G·H, H] -> states [B, H]; G is 4 for lstm, 3 for gru, else 1. The
    first state has P features if w_hr [P, H] projects it.
    Sources: Hochreiter & Schmidhuber 1997; Cho et al. 2014.
    """
    hidden = states[0]
    gates_h = hidden @ w_hh.T if b_hh is None else mx.addmm(b_hh, hidden, w_hh.T)
    if kind == "lstm":
        i, f, g, o = mx.split(gates_x + gates_h, 4, axis=-1)
        cell = mx.sigmoid(f) * states[1] + mx.sigmoid(i) * mx.tanh(g)
        output = mx.sigmoid(o) * mx.tanh(cell)
        return [output if w_hr is None else output @ w_hr.T, cell]
    if kind == "gru":
        reset_x, update_x, new_x = mx.split(gates_x, 3, axis=-1)
        reset_h, update_h, new_h = mx.split(gates_h, 3, axis=-1)
        update = mx.sigmoid(update_x + update_h)
        new = mx.tanh(new_x + mx.sigmoid(reset_x + reset_h) * new_h)
        return [(1 - update) * new + update * hidden]
    total = gates_x + gates_h
    return [mx.tanh(total) if kind == "tanh" else mx.maximum(total, 0)]


def recurrent_cell(kind: str, x: mx.array, states: list, w_ih: mx.array, w_hh: mx.array, b_ih, b_hh) -> list[mx.array]:
    """Run one step of a cell on its own; return the new states.

    Shapes: x [B, D], states [B, H], w_ih [G·H, D], w_hh [G·H, H] -> states [B, H].
    """
    return recurrent_step(kind, x @ w_ih.T if b_ih is None else mx.addmm(b_ih, x, w_ih.T), states, w_hh, b_hh)


def recurrent_weights(weights: list, biases: bool, places: int) -> list[tuple]:
    """Return w_ih, w_hh, b_ih, b_hh and w_hr of each layer and direction, None for those it lacks."""
    width = len(weights) // places
    parts = [weights[place * width : (place + 1) * width] for place in range(places)]
    pairs = [(part[:2], part[2:4] if biases else [None, None], part[-1] if width % 2 else None) for part in parts]
    return [(*matrices, *bias, w_hr) for matrices, bias, w_hr in pairs]


def recurrent(
    kind: str, x: mx.array, states: list, weights: list, biases: bool, layers: int, both: bool, batch_first: bool
) -> list[mx.array]:
    """Run stacked recurrent layers, in one or both directions.

    Shapes: x [T, B, D] ([B, T, D] for batch_first, [T, D] for one example), states [layers · directions, B, H]
    -> outputs of the last layer [T, B, directions · H] (axes as in x), then the final states.
    """
    single = x.ndim == 2
    if single:
        x, states = x[:, None], [state[:, None] for state in states]
    elif batch_first:
        x = x.swapaxes(0, 1)
    directions = 2 if both else 1
    of_each = recurrent_weights(weights, biases, layers * directions)
    finals: list[list[mx.array]] = []
    for layer in range(layers):
        outputs = []
        for direction in range(directions):
            place = layer * directions + direction
            w_ih, w_hh, b_ih, b_hh, w_hr = of_each[place]
            gates = x @ w_ih.T if b_ih is None else mx.addmm(b_ih, x, w_ih.T)
            current = [state[place] for state in states]
            steps = []
            order = range(x.shape[0] - 1, -1, -1) if direction else range(x.shape[0])
            for time in order:
                current = recurrent_step(kind, gates[time], current, w_hh, b_hh, w_hr)
                steps.append(current[0])
            outputs.append(mx.stack(steps[::-1] if direction else steps))
            finals.append(current)
        x = outputs[0] if len(outputs) == 1 else mx.concatenate(outputs, axis=-1)
    ends = [mx.stack(list(parts)) for parts in zip(*finals, strict=True)]
    if single:
        return [x[:, 0], *[end[:, 0] for end in ends]]
    return [x.swapaxes(0, 1) if batch_first else x, *ends]


def packed_recurrent(
    kind: str, data: mx.array, batch_sizes: mx.array, states: list, weights: list, biases: bool, layers: int, both: bool
) -> list[mx.array]:
    """Run stacked recurrent layers on a packed sequence: each step on the rows that are long enough, the longest first.

    Shapes: data [N, D] step by step, batch_sizes [T], states [layers · directions, B, H]
    -> outputs of the last layer [N, directions · H], then the states after the last step of each row.
    """
    sizes, starts = batch_sizes.tolist(), [0]
    for size in sizes:
        starts.append(starts[-1] + size)
    directions = 2 if both else 1
    of_each = recurrent_weights(weights, biases, layers * directions)
    finals: list[list[mx.array]] = []
    for layer in range(layers):
        outputs = []
        for direction in range(directions):
            place = layer * directions + direction
            w_ih, w_hh, b_ih, b_hh, w_hr = of_each[place]
            gates = data @ w_ih.T if b_ih is None else mx.addmm(b_ih, data, w_ih.T)
            current = [state[place] for state in states]
            steps = []
            order = range(len(sizes) - 1, -1, -1) if direction else range(len(sizes))
            for time in order:
                rows = sizes[time]
                step_gates = gates[starts[time] : starts[time] + rows]
                new = recurrent_step(kind, step_gates, [state[:rows] for state in current], w_hh, b_hh, w_hr)
                steps.append(new[0])
                pairs = zip(new, current, strict=True)
                current = [mx.concatenate([run, state[rows:]]) for run, state in pairs]
            outputs.append(mx.concatenate(steps[::-1] if direction else steps))
            finals.append(current)
        data = outputs[0] if len(outputs) == 1 else mx.concatenate(outputs, axis=-1)
    return [data, *[mx.stack(list(parts)) for parts in zip(*finals, strict=True)]]


def pack_padded(x: mx.array, lengths: mx.array, batch_first: bool) -> list[mx.array]:
    """Put the steps of rows of unequal length one after another: all first steps, all second ones and so on.

    Shapes: x [T, B, ...] ([B, T, ...] for batch_first), lengths [B], the longest first
    -> data [sum of lengths, ...], batch_sizes [longest]: the rows that have each step.
    """
    if batch_first:
        x = x.swapaxes(0, 1)
    longest = lengths[0].item()
    within = mx.arange(longest)[:, None] < lengths
    rows = [place for place, is_within in enumerate(within.flatten().tolist()) if is_within]
    return [x[:longest].flatten(0, 1)[mx.array(rows, dtype=mx.int32)], within.sum(axis=1).astype(mx.int64)]


def pad_packed(
    data: mx.array, batch_sizes: mx.array, batch_first: bool, padding_value: float, total_length: int, n_rows: int
) -> list[mx.array]:
    """Give each row of a packed sequence its steps back, and padding after them.

    Shapes: data [N, ...], batch_sizes [T] -> [total_length, n_rows, ...] ([n_rows, total_length, ...] for batch_first),
    lengths [n_rows].
    """
    within = mx.arange(n_rows) < batch_sizes[:, None]
    places = (mx.cumsum(within.flatten().astype(mx.int32)) - 1).reshape(within.shape)
    padded = mx.where(within.reshape(*within.shape, *[1] * (data.ndim - 1)), data[places], padding_value)
    widths = [(0, total_length - len(batch_sizes)), *[(0, 0)] * (padded.ndim - 1)]
    padded = mx.pad(padded.astype(data.dtype), widths, constant_values=padding_value)
    return [padded.swapaxes(0, 1) if batch_first else padded, within.sum(axis=0).astype(mx.int64)]
