from alexnet.data.folder import list_folder
from alexnet.data.image import decode_file
from alexnet.data.pictures import Pictures
from tests.conftest import MakePictures


def test_a_folder_offers_its_pictures(pictures: MakePictures) -> None:
    root = pictures(per_class=2)
    offered: Pictures = list_folder(root)
    assert len(offered) == len(offered.paths) == len(offered.labels) == 6
    for index, path in enumerate(offered.paths):
        assert path.startswith(offered.classes[offered.labels[index]] + "/")
        wanted = decode_file(root / path, at_least=20)
        assert (offered.pixels(index, at_least=20) == wanted).all()
