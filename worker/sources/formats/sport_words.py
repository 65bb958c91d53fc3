"""The words for running and other sports, in the languages of the apps that write files.

Those of OpenTracks are from its translations (`activity_type_…` of strings.xml, 46 languages).
The rest are common words of these languages, and type names seen in exports: Strava, Garmin,
Samsung Health, Runtastic and RunKeeper publish no list. A word is matched as a whole. A compound
may match by its end (such as `*lauf`), or by `cycl*` or `*swim*`, only as a file's type and never
in a title, because titles contain names of places.
"""

# ruff: noqa: RUF001  # letters of many scripts are intended here
import re
from functools import cache
from typing import Literal

_RUN = r"""
run runs running jog jogging parkrun trailrun trailrunning
lauf laufen joggen laufband geländelauf traillauf waldlauf dauerlauf berglauf volkslauf
hardlopen hardloop hardloopsessie loopband trailloop
løb løbe løbetur løp løping løpetur løpetrening løpebånd
löpning löpa löprunda löptur löppass
juoksu juoksulenkki juoksumatto lenkki lenkkeily hölkkä
jooks jooksmine skriešana bėgimas bėgiojimas hlaup
bieg biegi bieganie bieżnia běh běhání běhat
trčanje futás futni alergare vrapim
corsa correre correr corriendo carrera trote corrida córrer cursa carreira courir footing
korrika lasterketa koşu koşusu koşma chạy lari berlari larian pagtakbo tumatakbo rith
бег бега пробежка забег джоггинг біг пробіжка бягане трчање трка
τρέξιμο τροχάδην ריצה ריצת جري الجري ركض الركض دویدن
"""
_RUN_PHRASES = r"course (?:à|a) pied|course sur|course athlétique|course urbaine"
# Scripts without spaces between words; ラン alone would be found in フランス.
_RUN_ANYWHERE = (
    r"跑|ランニング|トレイルラン|トレラン|ジョギング|マラソン|(?<!\w)ラン(?!\w)"
    r"|달리기|러닝|조깅|วิ่ง|दौड़|रनिंग|ஓட்டம்|ಓಟ"
)
_RUN_TYPES = """
*run *running *jogging *lauf *laufen *laufband *løb *løp *løping *löpning
*juoksu *jooks* *futás alerg* biega* bieżni* běh* beh behanie bežecký tek teku
*trčanje trč* skrie* bėg* hlaup* hardloop* løbe* løpe* löp* lenkk* koş*
corsa* бег* пробеж* бяга* біг* трча* course vrap* berlari
"""
_PLACES_TO_RUN = r"treadmill|trail|trails|fell|tapis de course|cinta de correr"

_NEVER = r"""
wheelchair transition swim swims swimming ski skis skiing snowboard snowboarding
bike bikes biking bicycle bicycling cycling cyclist ride rides riding mtb
rowing kayak kayaking canoe canoeing paddling sailing surfing kitesurfing windsurfing
skating skate rollerskiing rollerblading inlineskating driving motorcycling golf elliptical
soccer football tennis climbing yoga
rad radfahren radtour rennrad fahrrad fahrradfahren radeln mountainbiken schwimmen langlauf
skilanglauf skilauf skifahren eislaufen eislauf schlittschuhlaufen rollschuhlaufen inlineskaten
rudern autofahren fahren reiten segeln klettern
fietsen fietsrit fiets wielrennen zwemmen schaatsen roeien rijden skiën langlaufen
cykling cykle cykeltur cykel svømning svømme skiløb langrend rulleskøjteløb skøjteløb
sykling sykkel sykkeltur terrengsykling svømming langrenn skøyter skisport
cyklar simning simma längdskidåkning skidåkning längdskidor inlineåkning
pyöräily maastopyöräily uinti uiminen hiihto maastohiihto rullaluistelu luistelu melonta laskettelu
jalgrattasõit ujumine suusatamine murdmaasuusatamine rulluisutamine
riteņbraukšana peldēšana slēpošana skrituļslidošana dviračiu dviračiais slidinėjimas plaukimas
rower rowerze kolarstwo pływanie narciarstwo narciarskie łyżworolkach
kolo kole cyklistika plavání lyže lyžích lyžování bruslení bicykel plávanie lyžovanie lyžiach
kolesarjenje smučeh smučanje plavanje biciklizam plivanje skijanje skijaško rolanje
kerékpározás bicikli úszás sífutás síelés görkorcsolyázás evezés
ciclism înot schi ciclismo bicicletta bici nuoto sci pattinaggio
bicicleta natación nadar nadando esquí esqui patinaje patinar natação pedalada patins
ciclisme natació patinatge vélo vtt cyclisme natation patinage patins aviron équitation voiture
ziklismoa bizikleta eskia igeriketa bisiklet yüzme kayak kayağı paten sürme bơi trượt
bersepeda sepeda renang berenang rothaíocht snámh
велосипед велоспорт велопрогулка заплыв плавание плавання лыжи лыжах лижах лижний коньки ролики
колоездене плуване ски бициклизам скијање пливање байк
ποδηλασία κολύμπι κολύμβηση σκι רכיבה אופניים שחייה סקי
دراجات الدراجات سباحة السباحة تزلج التزلج دوچرخه شنا اسکی
"""
_NEVER_PHRASES = r"xe đạp|ir en bici|en coche|hand ?cycl\w*|roller ?ski\w*|sci di fondo|pattini"
_NEVER_ANYWHERE = (
    r"骑|騎|自行车|自行車|單車|单车|サイクリング|自転車|マウンテンバイク|水泳|スイム|スキー|スケート|游泳"
    r"|滑雪|滑冰|轮滑|直排|开车|開車|運転|자전거|사이클|수영|스키|스케이트|จักรยาน|สกี|ว่ายน้ำ|साइकल|साइकिल"
)
_NEVER_TYPES = """
*swim* *ski *skiing *bike *biking *ride *cycling cycl* *schwimm* *langlauf
*fiets* cykl* sykl* *cykling *sykling *skøjteløb *schuhlauf* *pyöräily *hiihto
*kerékpár* sí* narciar* lyž* smuč* skij* cicl* bici* esqu* patin* vélo*
вело* *велосипед* лыж* лиж* плав* скиј* ποδηλ* skat* roller* *row *skate
*surf
"""
_ON_FOOT = r"""
walk walks walking hike hikes hiking trek trekking stroll
wandern wanderung spaziergang spazieren gehen wandelen wandeling wandeltocht
vandring vandretur gåtur fottur promenad kävely kävelylenkki retkeily vaellus patikointi
jalutamine matkamine iešana ėjimas spacer turystyka wędrówka chůze turistika chôdza
pohodništvo hoja hodanje pješačenje gyaloglás túrázás drumeție plimbare
passeggiata camminata camminare escursionismo caminar caminata senderismo caminhada caminhar
senderisme sendeirismo caminada randonnée promenade yürüyüş yürüyüşü yürüme berjalan mendaki
ходьба прогулка поход прогулянка ходене пешачење
βάδισμα περπάτημα πεζοπορία הליכה مشي المشي تنزه
"""
_ON_FOOT_ANYWHERE = (
    r"步行|走路|健走|徒步|健行|散步|登山|ウォーキング|ハイキング|散歩"
    r"|도보|걷기|하이킹|등산|เดิน|đi bộ|पैदल"
)
_ON_FOOT_TYPES = "*walk *walking *hike *hiking gang gange gång marche mers"


class _Vocabulary:
    """Whole words and phrases, and patterns that match `anywhere` in a text."""

    def __init__(self, words: str, *, phrases: str = "", anywhere: str) -> None:
        told = words.split()
        self._words = frozenset(told)
        self._parts = tuple(one.strip("*") for one in told if one[0] == one[-1] == "*")
        self._beginnings = tuple(one[:-1] for one in told if one[0] != "*" == one[-1])
        self._endings = tuple(one[1:] for one in told if one[0] == "*" != one[-1])
        whole = rf"(?<!\w)(?:{phrases})(?!\w)|" if phrases else ""
        self._phrases = re.compile(whole + anywhere)

    def is_in(self, text: str) -> bool:
        """True if one of them is in this text."""
        return any(map(self._holds, _WORD.findall(text))) or bool(self._phrases.search(text))

    def _holds(self, word: str) -> bool:
        return (
            word in self._words
            or word.startswith(self._beginnings)
            or word.endswith(self._endings)
            or any(part in word for part in self._parts)
        )


_WORD = re.compile(r"\w+")


# Made on first use: most commands read no file.
@cache
def _vocabularies(*, of_types: bool) -> tuple[_Vocabulary, _Vocabulary, _Vocabulary]:
    """The words for running, for sports not on foot, and for other sports on foot."""
    run, never, on_foot = (_RUN_TYPES, _NEVER_TYPES, _ON_FOOT_TYPES) if of_types else ("", "", "")
    return (
        _Vocabulary(_RUN + run, phrases=_RUN_PHRASES, anywhere=_RUN_ANYWHERE),
        _Vocabulary(_NEVER + never, phrases=_NEVER_PHRASES, anywhere=_NEVER_ANYWHERE),
        _Vocabulary(_ON_FOOT + on_foot, anywhere=_ON_FOOT_ANYWHERE),
    )


_PLACE = re.compile(rf"\b(?:{_PLACES_TO_RUN})\b")

Told = Literal["run", "other"] | None


def type_means(words: str) -> Told:
    """What a sport's name (lower case, separate words) means; None if it isn't known."""
    runs, never, on_foot = _vocabularies(of_types=True)
    if never.is_in(words):
        return "other"
    if runs.is_in(words):
        return "run"
    if on_foot.is_in(words):
        return "other"
    return "run" if _PLACE.search(words) else None


def title_means(words: str) -> Told:
    """What a title says about the sport; None if it says nothing, or both."""
    runs, never, on_foot = _vocabularies(of_types=False)
    is_run = runs.is_in(words)
    is_other = never.is_in(words) or on_foot.is_in(words)
    if is_run == is_other:
        return None
    return "run" if is_run else "other"
