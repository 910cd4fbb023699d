"""The protocol of Home Assistant's voice assistants, beside HTTP."""
