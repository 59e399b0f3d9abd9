"""How the contract refuses."""


class PanicError(Exception):
    """The call failed and changed nothing; `text` is the contract's own message.

    Texts are those of the contract where they are known (protocol: order of checks), since clients match them.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text
