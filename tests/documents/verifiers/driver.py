import base64
import importlib
import sys


def main() -> None:
    verify = importlib.import_module("verify")
    for line in sys.stdin:
        check, *fields = line.rstrip("\n").split("\t")
        body, *texts = (base64.b64decode(field) for field in fields)
        judge = verify.verify_signature if check == "signature" else verify.verify_webhook
        sys.stdout.write(f"{judge(body, *(text.decode() for text in texts))}\n")


if __name__ == "__main__":
    main()
