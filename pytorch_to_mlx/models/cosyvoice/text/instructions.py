"""The instructions that version 3 was trained on, as its authors list them.

Source: `instruct_list`, cosyvoice/utils/common.py@ace7c47, without the system prompt before each.
"""

DIALECTS = "广东 东北 甘肃 贵州 河南 湖北 湖南 江西 闽南 宁夏 山西 陕西 山东 上海 四川 天津 云南".split()
INSTRUCTIONS = (
    *(f"请用{dialect}话表达。" for dialect in DIALECTS),
    "Please say a sentence as loudly as possible.",
    "Please say a sentence in a very soft voice.",
    "请用尽可能慢地语速说一句话。",
    "请用尽可能快地语速说一句话。",
    "请非常开心地说一句话。",
    "请非常伤心地说一句话。",
    "请非常生气地说一句话。",
    "我想体验一下小猪佩奇风格，可以吗？",
    "你可以尝试用机器人的方式解答吗？",
)
