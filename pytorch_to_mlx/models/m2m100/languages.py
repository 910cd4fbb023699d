"""The languages of NLLB-200 and M2M100: codes in the order of their tokenizers, names and scripts.

Codes and order: transformers 5.23, models/nllb and models/m2m_100. Names: CLDR. Only the tokenizer of a checkpoint
decides which codes it has, and their ids.
"""

from difflib import get_close_matches
from typing import NamedTuple

from ...errors import UsageError

_SCRIPTS = {
    "Arab": "Arabic",
    "Armn": "Armenian",
    "Beng": "Bengali",
    "Cyrl": "Cyrillic",
    "Deva": "Devanagari",
    "Ethi": "Ethiopic",
    "Geor": "Georgian",
    "Grek": "Greek",
    "Gujr": "Gujarati",
    "Guru": "Gurmukhi",
    "Hang": "Hangul",
    "Hans": "Han (simplified)",
    "Hant": "Han (traditional)",
    "Hebr": "Hebrew",
    "Jpan": "Japanese",
    "Khmr": "Khmer",
    "Knda": "Kannada",
    "Laoo": "Lao",
    "Latn": "Latin",
    "Mlym": "Malayalam",
    "Mymr": "Myanmar",
    "Orya": "Odia",
    "Sinh": "Sinhala",
    "Taml": "Tamil",
    "Telu": "Telugu",
    "Tfng": "Tifinagh",
    "Thai": "Thai",
    "Tibt": "Tibetan",
}
_NLLB = """
ace_Arab Acehnese
ace_Latn Acehnese
acm_Arab Mesopotamian Arabic
acq_Arab Ta'izzi-Adeni Arabic
aeb_Arab Tunisian Arabic
afr_Latn Afrikaans
ajp_Arab South Levantine Arabic
aka_Latn Akan
amh_Ethi Amharic
apc_Arab North Levantine Arabic
arb_Arab Standard Arabic
ars_Arab Najdi Arabic
ary_Arab Moroccan Arabic
arz_Arab Egyptian Arabic
asm_Beng Assamese
ast_Latn Asturian
awa_Deva Awadhi
ayr_Latn Central Aymara
azb_Arab South Azerbaijani
azj_Latn North Azerbaijani
bak_Cyrl Bashkir
bam_Latn Bambara
ban_Latn Balinese
bel_Cyrl Belarusian
bem_Latn Bemba
ben_Beng Bangla
bho_Deva Bhojpuri
bjn_Arab Banjar
bjn_Latn Banjar
bod_Tibt Tibetan
bos_Latn Bosnian
bug_Latn Buginese
bul_Cyrl Bulgarian
cat_Latn Catalan
ceb_Latn Cebuano
ces_Latn Czech
cjk_Latn Chokwe
ckb_Arab Central Kurdish
crh_Latn Crimean Tatar
cym_Latn Welsh
dan_Latn Danish
deu_Latn German
dik_Latn Southwestern Dinka
dyu_Latn Dyula
dzo_Tibt Dzongkha
ell_Grek Greek
eng_Latn English
epo_Latn Esperanto
est_Latn Estonian
eus_Latn Basque
ewe_Latn Ewe
fao_Latn Faroese
pes_Arab Iranian Persian
fij_Latn Fijian
fin_Latn Finnish
fon_Latn Fon
fra_Latn French
fur_Latn Friulian
fuv_Latn Nigerian Fulfulde
gla_Latn Scottish Gaelic
gle_Latn Irish
glg_Latn Galician
grn_Latn Guarani
guj_Gujr Gujarati
hat_Latn Haitian Creole
hau_Latn Hausa
heb_Hebr Hebrew
hin_Deva Hindi
hne_Deva Chhattisgarhi
hrv_Latn Croatian
hun_Latn Hungarian
hye_Armn Armenian
ibo_Latn Igbo
ilo_Latn Iloko
ind_Latn Indonesian
isl_Latn Icelandic
ita_Latn Italian
jav_Latn Javanese
jpn_Jpan Japanese
kab_Latn Kabyle
kac_Latn Kachin
kam_Latn Kamba
kan_Knda Kannada
kas_Arab Kashmiri
kas_Deva Kashmiri
kat_Geor Georgian
knc_Arab Central Kanuri
knc_Latn Central Kanuri
kaz_Cyrl Kazakh
kbp_Latn Kabiyè
kea_Latn Kabuverdianu
khm_Khmr Khmer
kik_Latn Kikuyu
kin_Latn Kinyarwanda
kir_Cyrl Kyrgyz
kmb_Latn Kimbundu
kon_Latn Kongo
kor_Hang Korean
kmr_Latn Northern Kurdish
lao_Laoo Lao
lvs_Latn Standard Latvian
lij_Latn Ligurian
lim_Latn Limburgish
lin_Latn Lingala
lit_Latn Lithuanian
lmo_Latn Lombard
ltg_Latn Latgalian
ltz_Latn Luxembourgish
lua_Latn Luba-Lulua
lug_Latn Ganda
luo_Latn Luo (Kenya and Tanzania)
lus_Latn Mizo
mag_Deva Magahi
mai_Deva Maithili
mal_Mlym Malayalam
mar_Deva Marathi
min_Latn Minangkabau
mkd_Cyrl Macedonian
plt_Latn Plateau Malagasy
mlt_Latn Maltese
mni_Beng Manipuri
khk_Cyrl Halh Mongolian
mos_Latn Mossi
mri_Latn Māori
zsm_Latn Standard Malay
mya_Mymr Burmese
nld_Latn Dutch
nno_Latn Norwegian Nynorsk
nob_Latn Norwegian Bokmål
npi_Deva Nepali (individual language)
nso_Latn Northern Sotho
nus_Latn Nuer
nya_Latn Nyanja
oci_Latn Occitan
gaz_Latn West Central Oromo
ory_Orya Odia (individual language)
pag_Latn Pangasinan
pan_Guru Punjabi
pap_Latn Papiamento
pol_Latn Polish
por_Latn Portuguese
prs_Arab Dari
pbt_Arab Southern Pashto
quy_Latn Ayacucho Quechua
ron_Latn Romanian
run_Latn Rundi
rus_Cyrl Russian
sag_Latn Sango
san_Deva Sanskrit
sat_Beng Santali
scn_Latn Sicilian
shn_Mymr Shan
sin_Sinh Sinhala
slk_Latn Slovak
slv_Latn Slovenian
smo_Latn Samoan
sna_Latn Shona
snd_Arab Sindhi
som_Latn Somali
sot_Latn Southern Sotho
spa_Latn Spanish
als_Latn Tosk Albanian
srd_Latn Sardinian
srp_Cyrl Serbian
ssw_Latn Swati
sun_Latn Sundanese
swe_Latn Swedish
swh_Latn Swahili (individual language)
szl_Latn Silesian
tam_Taml Tamil
tat_Cyrl Tatar
tel_Telu Telugu
tgk_Cyrl Tajik
tgl_Latn Filipino
tha_Thai Thai
tir_Ethi Tigrinya
taq_Latn Tamasheq
taq_Tfng Tamasheq
tpi_Latn Tok Pisin
tsn_Latn Tswana
tso_Latn Tsonga
tuk_Latn Turkmen
tum_Latn Tumbuka
tur_Latn Turkish
twi_Latn Twi
tzm_Tfng Central Atlas Tamazight
uig_Arab Uyghur
ukr_Cyrl Ukrainian
umb_Latn Umbundu
urd_Arab Urdu
uzn_Latn Northern Uzbek
vec_Latn Venetian
vie_Latn Vietnamese
war_Latn Waray
wol_Latn Wolof
xho_Latn Xhosa
ydd_Hebr Eastern Yiddish
yor_Latn Yoruba
yue_Hant Cantonese
zho_Hans Chinese
zho_Hant Chinese
zul_Latn Zulu
"""
_M2M100 = (
    "af am ar ast az ba be bg bn br bs ca ceb cs cy da de el en es et fa ff fi fr fy ga gd gl gu ha he hi hr "
    "ht hu hy id ig ilo is it ja jv ka kk km kn ko lb lg ln lo lt lv mg mk ml mn mr ms my ne nl no ns oc or "
    "pa pl ps pt ro ru sd si sk sl so sq sr ss su sv sw ta th tl tn tr uk ur uz vi wo xh yi yo zh zu"
)


class Language(NamedTuple):
    """A language of NLLB-200 in one script."""

    code: str
    name: str
    script: str


NLLB = tuple(
    Language(code, name, _SCRIPTS[code.partition("_")[2]])
    for code, _, name in (line.partition(" ") for line in _NLLB.strip().splitlines())
)
M2M100 = tuple(_M2M100.split())


def find_code(text: str, known: tuple[str, ...], what: str) -> str:
    """Return the code that a user means: a code, or the English name of a language with one script.

    Raises: UsageError for an unknown one, naming the nearest, and for a name of several.
    """
    if text in known:
        return text
    spelled = text.strip().replace("-", "_").lower()
    by_name = [language.code for language in NLLB if spelled in (language.name.lower(), language.code[:3])]
    matches = [code for code in known if code.lower() == spelled] or [code for code in by_name if code in known]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UsageError(f"{what} language '{text}' has {len(matches)} scripts", fix=f"use one of {', '.join(matches)}")
    names = {language.name.lower(): language.code for language in NLLB}
    near = get_close_matches(spelled, [*(code.lower() for code in known), *names], n=3)
    spellings = {code.lower(): code for code in known} | names
    hint = f"did you mean {', '.join(dict.fromkeys(spellings[word] for word in near))}? " if near else ""
    raise UsageError(f"unknown {what} language '{text}'", fix=f"{hint}`languages` lists all {len(known)}")
