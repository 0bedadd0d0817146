from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Stage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STAGE_UNSPECIFIED: _ClassVar[Stage]
    STAGE_LOW: _ClassVar[Stage]
    STAGE_HIGH: _ClassVar[Stage]
    STAGE_BROWNOUT: _ClassVar[Stage]
STAGE_UNSPECIFIED: Stage
STAGE_LOW: Stage
STAGE_HIGH: Stage
STAGE_BROWNOUT: Stage

class Upstream(_message.Message):
    __slots__ = ("hello", "image", "chunk", "cancel", "end")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    image: Image
    chunk: Chunk
    cancel: Cancel
    end: End
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., image: _Optional[_Union[Image, _Mapping]] = ..., chunk: _Optional[_Union[Chunk, _Mapping]] = ..., cancel: _Optional[_Union[Cancel, _Mapping]] = ..., end: _Optional[_Union[End, _Mapping]] = ...) -> None: ...

class Downstream(_message.Message):
    __slots__ = ("welcome", "answer", "need_more", "error", "go_away")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    NEED_MORE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    GO_AWAY_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    answer: Answer
    need_more: NeedMore
    error: Error
    go_away: GoAway
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., answer: _Optional[_Union[Answer, _Mapping]] = ..., need_more: _Optional[_Union[NeedMore, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ..., go_away: _Optional[_Union[GoAway, _Mapping]] = ...) -> None: ...

class Options(_message.Message):
    __slots__ = ("operating_point", "top", "deadline_ms", "labels", "model")
    OPERATING_POINT_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    operating_point: str
    top: int
    deadline_ms: int
    labels: bool
    model: str
    def __init__(self, operating_point: _Optional[str] = ..., top: _Optional[int] = ..., deadline_ms: _Optional[int] = ..., labels: _Optional[bool] = ..., model: _Optional[str] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("profile_id", "options")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    profile_id: bytes
    options: Options
    def __init__(self, profile_id: _Optional[bytes] = ..., options: _Optional[_Union[Options, _Mapping]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("profile_id", "credits", "model", "version", "task")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    CREDITS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    profile_id: bytes
    credits: int
    model: str
    version: str
    task: str
    def __init__(self, profile_id: _Optional[bytes] = ..., credits: _Optional[int] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., task: _Optional[str] = ...) -> None: ...

class Image(_message.Message):
    __slots__ = ("id", "layers", "promised", "picture")
    ID_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    PROMISED_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    id: int
    layers: _containers.RepeatedScalarFieldContainer[bytes]
    promised: int
    picture: PictureSize
    def __init__(self, id: _Optional[int] = ..., layers: _Optional[_Iterable[bytes]] = ..., promised: _Optional[int] = ..., picture: _Optional[_Union[PictureSize, _Mapping]] = ...) -> None: ...

class PictureSize(_message.Message):
    __slots__ = ("width", "height")
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    width: int
    height: int
    def __init__(self, width: _Optional[int] = ..., height: _Optional[int] = ...) -> None: ...

class Chunk(_message.Message):
    __slots__ = ("id", "layer", "offset", "data", "last")
    ID_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    id: int
    layer: int
    offset: int
    data: bytes
    last: bool
    def __init__(self, id: _Optional[int] = ..., layer: _Optional[int] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ..., last: _Optional[bool] = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: int
    def __init__(self, id: _Optional[int] = ...) -> None: ...

class End(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Score(_message.Message):
    __slots__ = ("index", "probability", "label")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    index: int
    probability: float
    label: str
    def __init__(self, index: _Optional[int] = ..., probability: _Optional[float] = ..., label: _Optional[str] = ...) -> None: ...

class Detection(_message.Message):
    __slots__ = ("score", "left", "top", "right", "bottom", "mask")
    SCORE_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    BOTTOM_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    score: Score
    left: float
    top: float
    right: float
    bottom: float
    mask: Mask
    def __init__(self, score: _Optional[_Union[Score, _Mapping]] = ..., left: _Optional[float] = ..., top: _Optional[float] = ..., right: _Optional[float] = ..., bottom: _Optional[float] = ..., mask: _Optional[_Union[Mask, _Mapping]] = ...) -> None: ...

class Mask(_message.Message):
    __slots__ = ("width", "height", "counts")
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    width: int
    height: int
    counts: bytes
    def __init__(self, width: _Optional[int] = ..., height: _Optional[int] = ..., counts: _Optional[bytes] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("id", "stage", "confident", "top", "queue_us", "compute_us", "layers", "detections")
    ID_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENT_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    QUEUE_US_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_US_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    DETECTIONS_FIELD_NUMBER: _ClassVar[int]
    id: int
    stage: Stage
    confident: bool
    top: _containers.RepeatedCompositeFieldContainer[Score]
    queue_us: int
    compute_us: int
    layers: int
    detections: _containers.RepeatedCompositeFieldContainer[Detection]
    def __init__(self, id: _Optional[int] = ..., stage: _Optional[_Union[Stage, str]] = ..., confident: _Optional[bool] = ..., top: _Optional[_Iterable[_Union[Score, _Mapping]]] = ..., queue_us: _Optional[int] = ..., compute_us: _Optional[int] = ..., layers: _Optional[int] = ..., detections: _Optional[_Iterable[_Union[Detection, _Mapping]]] = ...) -> None: ...

class NeedMore(_message.Message):
    __slots__ = ("id", "layers", "again", "so_far", "blocks")
    ID_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    AGAIN_FIELD_NUMBER: _ClassVar[int]
    SO_FAR_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    id: int
    layers: int
    again: bool
    so_far: Score
    blocks: bytes
    def __init__(self, id: _Optional[int] = ..., layers: _Optional[int] = ..., again: _Optional[bool] = ..., so_far: _Optional[_Union[Score, _Mapping]] = ..., blocks: _Optional[bytes] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("id", "code", "message", "retry_after_ms")
    ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    id: int
    code: int
    message: str
    retry_after_ms: int
    def __init__(self, id: _Optional[int] = ..., code: _Optional[int] = ..., message: _Optional[str] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class GoAway(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class ClassifyRequest(_message.Message):
    __slots__ = ("layers", "options", "picture")
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    layers: _containers.RepeatedScalarFieldContainer[bytes]
    options: Options
    picture: PictureSize
    def __init__(self, layers: _Optional[_Iterable[bytes]] = ..., options: _Optional[_Union[Options, _Mapping]] = ..., picture: _Optional[_Union[PictureSize, _Mapping]] = ...) -> None: ...

class DescribeModelRequest(_message.Message):
    __slots__ = ("part", "labels", "model")
    PART_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    part: Part
    labels: bool
    model: str
    def __init__(self, part: _Optional[_Union[Part, _Mapping]] = ..., labels: _Optional[bool] = ..., model: _Optional[str] = ...) -> None: ...

class Part(_message.Message):
    __slots__ = ("quality", "after", "layers", "operating_point")
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    OPERATING_POINT_FIELD_NUMBER: _ClassVar[int]
    quality: int
    after: int
    layers: int
    operating_point: str
    def __init__(self, quality: _Optional[int] = ..., after: _Optional[int] = ..., layers: _Optional[int] = ..., operating_point: _Optional[str] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "profile_id", "profile", "card", "part", "exit_share", "labels")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    CARD_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    EXIT_SHARE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    name: str
    profile_id: bytes
    profile: bytes
    card: str
    part: bytes
    exit_share: float
    labels: bytes
    def __init__(self, name: _Optional[str] = ..., profile_id: _Optional[bytes] = ..., profile: _Optional[bytes] = ..., card: _Optional[str] = ..., part: _Optional[bytes] = ..., exit_share: _Optional[float] = ..., labels: _Optional[bytes] = ...) -> None: ...
