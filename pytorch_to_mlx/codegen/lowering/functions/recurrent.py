"""LSTM, GRU and plain recurrent layers with torch's weight order."""

import mlx.core as mx


def recurrent_step(kind: str, gates_x: mx.array, states: list[mx.array], w_hh: mx.array, b_hh) -> list[mx.array]:
    """Run one time step from the input's share of the gates; return the new states.

    Shapes: gates_x [B, G·H], states [B, H], w_hh [G·H, H] -> states [B, H]; G is 4 for lstm, 3 for gru, else 1.
    Sources: Hochreiter & Schmidhuber 1997; Cho et al. 2014.
    """
    hidden = states[0]
    gates_h = hidden @ w_hh.T if b_hh is None else mx.addmm(b_hh, hidden, w_hh.T)
    if kind == "lstm":
        i, f, g, o = mx.split(gates_x + gates_h, 4, axis=-1)
        cell = mx.sigmoid(f) * states[1] + mx.sigmoid(i) * mx.tanh(g)
        return [mx.sigmoid(o) * mx.tanh(cell), cell]
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
    directions, width = (2 if both else 1), (4 if biases else 2)
    finals: list[list[mx.array]] = []
    for layer in range(layers):
        outputs = []
        for direction in range(directions):
            place = layer * directions + direction
            w_ih, w_hh, *bias = weights[place * width : (place + 1) * width]
            b_ih, b_hh = bias if biases else (None, None)
            gates = x @ w_ih.T if b_ih is None else mx.addmm(b_ih, x, w_ih.T)
            current = [state[place] for state in states]
            steps = []
            order = range(x.shape[0] - 1, -1, -1) if direction else range(x.shape[0])
            for time in order:
                current = recurrent_step(kind, gates[time], current, w_hh, b_hh)
                steps.append(current[0])
            outputs.append(mx.stack(steps[::-1] if direction else steps))
            finals.append(current)
        x = outputs[0] if len(outputs) == 1 else mx.concatenate(outputs, axis=-1)
    ends = [mx.stack(list(parts)) for parts in zip(*finals, strict=True)]
    if single:
        return [x[:, 0], *[end[:, 0] for end in ends]]
    return [x.swapaxes(0, 1) if batch_first else x, *ends]
