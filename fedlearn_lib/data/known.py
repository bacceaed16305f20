"""What the big data sets contain, to the byte, and where they can be fetched.

Packers differ, so a ``.gz`` has no fixed checksum; the decoded values do. ``SHA256`` holds, for
every file, the digest of its decoded array: pixels and labels as uint8; of QMNIST's tables the
column of writers as little-endian int32, in the rows that are MNIST's; of CIFAR's ``.bin``
files, which are not packed, the whole file. Where each digest comes from is told in
``book/data.md``.
"""

from __future__ import annotations

TITLE = {
    "digits": "Digits",
    "mnist_mini": "MNIST (mini)",
    "heart_disease": "Heart disease",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "cifar10_jpeg": "CIFAR-10 (JPEG)",
    "cifar100": "CIFAR-100",
    "cifar100_jpeg": "CIFAR-100 (JPEG)",
    "omniglot": "Omniglot",
}

SHA256 = {
    "mnist": {
        "train-images-idx3-ubyte": (
            "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757"
        ),
        "train-labels-idx1-ubyte": (
            "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13"
        ),
        "t10k-images-idx3-ubyte": (
            "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161"
        ),
        "t10k-labels-idx1-ubyte": (
            "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5"
        ),
        "qmnist-train-labels-idx2-int": (
            "8ddbedf4aba833f42e66bd8dfb76dc650e90a880571bb74494a0f1b37ac92652"
        ),
        "qmnist-test-labels-idx2-int": (
            "2bf5b82d86341b3846acdfc2152a0d2b9653181b97175ac77b52525d27c47f08"
        ),
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte": (
            "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012"
        ),
        "train-labels-idx1-ubyte": (
            "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7"
        ),
        "t10k-images-idx3-ubyte": (
            "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a"
        ),
        "t10k-labels-idx1-ubyte": (
            "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9"
        ),
    },
    "cifar10": {
        "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
        "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
        "cifar-10-binary.tar.gz": (
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
        ),
    },
    "cifar100": {
        "train.bin": "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29",
        "test.bin": "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a",
        "cifar-100-binary.tar.gz": (
            "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"
        ),
    },
    "cifar10_jpeg": {
        "data_batch_1.bin": "95bc40a96c189b4ae973b8e377256610c0b0865f59a76bf2e7b5f5d3b6a9cd51",
        "data_batch_2.bin": "5bb5b7448ab13050c953f52e49624887d937f2dbc737ba8308b771b88b6f5ced",
        "data_batch_3.bin": "ecc5c793ff8d4a06b657d4f9dfc1eb1e29f15f7e75fed9b9c34eb4df9459108d",
        "data_batch_4.bin": "9e28b99d5925a27d404ec940d84ec491ea1cd48e3ceb0e9db193afd19c93e65b",
        "data_batch_5.bin": "887c29d30b4a78aa9e3c200efd2298570173503aa557ab013e8e62afb37a242a",
        "test_batch.bin": "18fde75bb6b08389d237f73ff3863b75b88eb8920dadf3900bc92e4e644e6545",
    },
}

#: Of whole parts, whatever the order of their images: ``formats.content`` of rows that hold the
#: (fine) label and the pixels.
CONTENT = {
    "cifar10": {
        "train": "55a61f79a40ece2ceda9fb5f9f7078f6ea2fc4952489cef56682bcf92cfcc260",
        "test": "325704b01eb92e1e2a6215ae6a916bb7db7de054af0c496be1c7be2e0fcfbf5f",
    },
    "cifar100_jpeg": {
        "train": "411537fefa9f5c34ad0430718fb623d14c83cd94c7005b39d8740318172bfc68",
        "test": "6f484ad91e3a6ca8d7fedf2525a0f583690aa4ef0dd595a7f70d0172f06ddf80",
    },
}

MIRRORS = {
    "mnist": [
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ],
    "fashion_mnist": [
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ],
    "cifar10": [
        "https://www.cs.toronto.edu/~kriz/",
        "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/",
        "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
    ],
    "cifar100": ["https://www.cs.toronto.edu/~kriz/"],
    "qmnist": [
        "https://raw.githubusercontent.com/facebookresearch/qmnist/master/",
        "https://github.com/facebookresearch/qmnist/raw/main/",
    ],
}

#: Characters of each alphabet of Omniglot, in the order of the file numbers 0001 to 1623; the
#: first 30 alphabets are the background set, the other 20 the evaluation set.
OMNIGLOT_TRAIN = 30
OMNIGLOT = {
    "Arcadian": 26, "Armenian": 41, "Asomtavruli_(Georgian)": 40, "Balinese": 24, "Bengali": 46,
    "Blackfoot_(Canadian_Aboriginal_Syllabics)": 14, "Braille": 26, "Cyrillic": 33,
    "Early_Aramaic": 22, "Syriac_(Estrangelo)": 23, "Anglo-Saxon_Futhorc": 29, "Futurama": 26,
    "Grantha": 43, "Greek": 24, "Gujarati": 48, "Hebrew": 22, "Japanese_(hiragana)": 52,
    "Inuktitut_(Canadian_Aboriginal_Syllabics)": 16, "Malay_(Jawi_-_Arabic)": 40,
    "Japanese_(katakana)": 47, "Korean": 40, "Latin": 26, "Alphabet_of_the_Magi": 20,
    "Mkhedruli_(Georgian)": 41, "Burmese_(Myanmar)": 34, "N_Ko": 33,
    "Ojibwe_(Canadian_Aboriginal_Syllabics)": 14, "Sanskrit": 42, "Tagalog": 17, "Tifinagh": 55,
    "Angelic": 20, "Atemayar_Qelisayer": 26, "Atlantean": 26, "Aurek-Besh": 26, "Avesta": 26,
    "Ge_ez": 26, "Glagolitic": 45, "Gurmukhi": 45, "Kannada": 41, "Keble": 26, "Malayalam": 47,
    "Manipuri": 40, "Mongolian": 30, "Old_Church_Slavonic_(Cyrillic)": 45, "Oriya": 46,
    "Syriac_(Serto)": 23, "Sylheti": 28, "Tengwar": 25, "Tibetan": 42, "ULOG": 26,
}  # fmt: skip


def whose(digest: str) -> str:
    """Say which known file has this content.

    >>> whose(SHA256["mnist"]["t10k-labels-idx1-ubyte"])
    't10k-labels-idx1-ubyte of MNIST'
    >>> whose("00")
    'nothing known here'
    """
    for name, files in SHA256.items():
        for file, known in files.items():
            if known == digest:
                return f"{file} of {TITLE[name]}"
    return "nothing known here"
