"""Helps interop.sh: takes a bundle apart and hands its envelopes to verifiers that know nothing of countersign.

    interop.py split BUNDLE DIR             each envelope to DIR/N.json; prints "N PREDICATE-TYPE KEYID"
    interop.py pae ENVELOPE OUT SIG         what was signed, and the signature
    interop.py flip payload|sig IN OUT      the same JSON with one bit of the payload or signature flipped (envelope or Sigstore bundle)
    interop.py securesystemslib ENVELOPE KEY.pem
"""

import base64
import json
import sys


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def pae(kind, payload):
    """DSSE's pre-authentication encoding; lengths are of bytes."""
    kind = kind.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def split(bundle, directory):
    with open(bundle, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    envelopes = [line for line in lines if "payload" in line]
    for number, envelope in enumerate(envelopes):
        with open(f"{directory}/{number}.json", "w", encoding="utf-8") as file:
            json.dump(envelope, file)
        statement = json.loads(base64.b64decode(envelope["payload"]))
        print(number, statement["predicateType"], envelope["signatures"][0]["keyid"])


def write_pae(envelope, out, signature):
    envelope = load(envelope)
    with open(out, "wb") as file:
        file.write(pae(envelope["payloadType"], base64.b64decode(envelope["payload"])))
    with open(signature, "wb") as file:
        file.write(base64.b64decode(envelope["signatures"][0]["sig"]))


def flip(what, source, out):
    document = load(source)
    envelope = document.get("dsseEnvelope", document)
    holder, key = (envelope, "payload") if what == "payload" else (envelope["signatures"][0], "sig")
    data = bytearray(base64.b64decode(holder[key]))
    if what == "payload":
        # A character of a value, so that what is left is still a statement and only the signature can tell.
        data[data.index(b'"predicate":') - 4] ^= 1
    else:
        data[0] ^= 1
    holder[key] = base64.b64encode(data).decode()
    with open(out, "w", encoding="utf-8") as file:
        json.dump(document, file)


def securesystemslib(envelope, pem):
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey

    data = load(envelope)
    with open(pem, "rb") as file:
        public = load_pem_public_key(file.read())
    # It wants the key under the id that the envelope names; the id proves nothing, the key does.
    keyid = data["signatures"][0]["keyid"]
    key = SSlibKey.from_crypto(public, keyid)
    try:
        accepted = Envelope.from_dict(data).verify([key], 1)
    except VerificationError as error:
        sys.exit(f"refused: {error}")
    if list(accepted) != [keyid]:
        sys.exit("refused: another key id")
    print("accepted")


COMMANDS = {"split": split, "pae": write_pae, "flip": flip, "securesystemslib": securesystemslib}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
