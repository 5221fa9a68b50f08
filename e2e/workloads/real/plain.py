"""Pure Python: calls, recursion, dictionaries, generators, classes."""


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


class Node:
    def __init__(self, value, depth):
        self.value = value
        self.children = [Node(value * 3 + i, depth - 1) for i in range(3)] if depth else []

    def total(self):
        return self.value + sum(child.total() for child in self.children)


def words(count):
    seen = {}
    for i in range(count):
        word = "w%d" % (i * 7919 % 5003)
        seen[word] = seen.get(word, 0) + 1
    return sorted(seen.items(), key=lambda pair: (-pair[1], pair[0]))[:10]


for _ in range(12):
    print(fib(25), Node(1, 8).total(), words(300_000)[0])
