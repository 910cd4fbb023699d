"""English names of the languages that MADLAD-400 was trained on, by its codes.

Names: public tables made after Kudugunta et al. 2023, "MADLAD-400", appendix A. Which tags a model knows, its own
tokenizer says; the list is for showing only.
"""

_NAMES = """
aa Afar;abs Ambonese Malay;abt Ambulas;ace Achinese;acf St Lucian Creole French;ach Acoli;ada Adangme;adh Adhola;
ady Adyghe;af Afrikaans;agr Aguaruna;ahk Akha;ak Twi;akb Batak Angkola;alt S. Altai;alz Alur;am Amharic;
amu Guerrero Amuzgo;ang Old English;ann Obolo;apd_SD Sudanese Arabic;ape Bukiyip;ar Arabic;ar_Latn Arabic (Latn);
arn Mapudungun;as Assamese;av Avar;awa Awadhi;ay Aymara;ayl Libyan Arabic;az Azerbaijani;az_RU Azerbaijani (Russia);
azg San Pedro Amuzgos Amuzgo;ba Bashkir;ban Balinese;bas Basa (Cameroon);bbc Batak Toba;bci Baoulé;be Belarusian;
ber Tamazight (Tfng);ber_Latn Tamazight (Latn);bew Betawi;bfy Bagheli;bg Bulgarian;bg_Latn Bulgarian (Latn);
bgc Haryanvi;bgp E. Baluchi;bgz Banggai;bhb_Gujr Bhili;bho Bhojpuri;bi Bislama;bik Central Bikol;bim Bimoba;
bjj Kanauji;bm Bambara;bmm N. Betsimisaraka Malagasy;bn Bengali;bn_Latn Bengali (Latn);bo Tibetan;bqc Boko (Benin);
br Breton;bru E. Bru;brx Bodo (India);bs Bosnian;bto Rinconada Bikol;bts Batak Simalungun;btx Batak Karo;bua Buryat;
bum Bulu;bus Bokobaru;bzc S. Betsimisaraka Malagasy;bzj Belize Kriol English;ca Catalan;cab Garifuna;cac Chuj;
cak Kaqchikel;cbk Chavacano;cce Chopi;ce Chechen;ceb Cebuano;cfm Falam Chin;cgg Chiga;ch Chamorro;chk Chuukese;
chm Meadow Mari;chr Cherokee;cjk Chokwe;ckb Kurdish (Sorani);clu Caluyanun;cnh Hakha Chin;cni Asháninka;co Corsican;
cr_Latn Cree (Latn);crh Crimean Tatar;crs Seselwa Creole French;cs Czech;ctd_Latn Tedim Chin (Latn);ctg Chittagonian;
ctu Chol;cuk San Blas Kuna;cv Chuvash;cy Welsh;cyo Cuyonon;da Danish;dcc Deccan;de German;din Dinka;dje Zarma;
djk E. Maroon Creole;dln Darlong;doi Dogri;dov Dombe;dtp Kadazan Dusun;dv Dhivehi;dwr Dawro;dyu Dyula;dz Dzongkha;
ee Ewe;el Greek;el_CY Greek (Cyprus);el_Latn Greek (Latn);emp N. Emberá;en English;en_Arab English (Arab);
en_Cyrl English (Cyrl);enq Enga;eo Esperanto;es Spanish;et Estonian;eu Basque;fa Persian;ff Fulfulde;ff_Adlm Fulah;
ffm Maasina Fulfulde;fi Finnish;fil Filipino;fj Fijian;fo Faroese;fon Fon;fr French;frp Arpitan;fy W. Frisian;
ga Irish;gag Gagauz;gbm Garhwali;gd Scottish Gaelic;gil Gilbertese;gjk Kachi Koli;gju Gujari;gl Galician;gn Guarani;
gof Gofa;gom Goan Konkani;gom_Latn Goan Konkani (Latn);gor Gorontalo;grc Ancient Greek;gsw Swiss German;gu Gujarati;
gu_Latn Gujarati (Latn);gub Guajajára;guc Wayuu;guh Guahibo;gui E. Bolivian Guaraní;gv Manx;gvl Gulay;gym Ngäbere;
gyn Guyanese Creole English;ha Hausa;haw Hawaiian;he Hebrew;hi Hindi;hi_Latn Hindi (Latn);hif Fiji Hindi;
hil Hiligaynon;hmn Hmong;hne Chhattisgarhi;ho Hiri Motu;hr Croatian;ht Haitian Creole;hu Hungarian;hui Huli;
hus Huastec;hvn Sabu;hy Armenian;iba Iban;ibb Ibibio;id Indonesian;ify Keley-I Kallahan;ig Igbo;ilo Ilocano;inb Inga;
is Icelandic;iso Isoko;it Italian;iu Inuktitut;ium Iu Mien;iw Hebrew (old code);izz Izii;ja Japanese;
ja_Latn Japanese (Latn);jac Popti’;jam Jamaican Creole English;jax Jambi Malay;jiv Shuar;jv Javanese;
jvn Caribbean Javanese;ka Georgian;kaa Kara-Kalpak;kaa_Latn Kara-Kalpak (Latn);kac Kachin;kbd Kabardian;kbp Kabiyè;
kek Kekchí;kfy Kumaoni;kg Kongo;kha Khasi;kj Kuanyama;kjb Q’anjob’al;kjg Khmu;kjh Khakas;kk Kazakh;kl Kalaallisut;
km Khmer;kmb Kimbundu;kmz_Latn Khorasani Turkish (Latn);kn Kannada;kn_Latn Kannada (Latn);knj W. Kanjobal;ko Korean;
koi Komi-Permyak;kos Kosraean;krc Karachay-Balkar;kri Krio;krj Kinaray-A;ks Kashmiri;ksd Kuanua;ksw S’gaw Karen;
ktu Kituba (DRC);ku Kurdish (Kurmanji);kum Kumyk;kv Komi;kw Cornish;kwi Awa-Cuaiquer;ky Kyrgyz;la Latin;
laj Lango (Uganda);lb Luxembourgish;lg Luganda;lhu Lahu;ln Lingala;lo Lao;lrc N. Luri;lt Lithuanian;ltg Latgalian;
lu Luba-Katanga;lus Mizo;luz S. Luri;lv Latvian;mad Madurese;mag Magahi;mai Maithili;mak Makasar;mam Mam;mas Masai;
max North Moluccan Malay;maz Central Mazahua;mbt Matigsalug Manobo;mdf Moksha;mdh Maguindanaon;mdy Male (Ethiopia);
mel Central Melanau;meo Kedah Malay;meu Motu;mey Hassaniyya;mfb Bangka;mfe Morisien;mg Malagasy;mgh Makhuwa-Meetto;
mh Marshallese;mi Maori;min Minangkabau;miq Mískito;mk Macedonian;mkn Kupang Malay;ml Malayalam;
ml_Latn Malayalam (Latn);mn Mongolian;mni Meiteilon (Manipuri);mnw Mon;mps Dadibi;mqy Manggarai;mr Marathi;
mr_Latn Marathi (Latn);mrj Hill Mari;mrw Maranao;ms Malay;ms_Arab Malay (Jawi);ms_Arab_BN Malay (Jawi, Brunei);
msb Masbatenyo;msi Sabah Malay;msm Agusan Manobo;mt Maltese;mtq Muong;mtr Mewari;mui Musi;mwr Marwari;
my Myanmar (Burmese);myv Erzya;nan_Latn_TW Min Nan Chinese (Latn);nd North Ndebele;ndc_ZW Ndau;ne Nepali;new Newari;
ng Ndonga;ngu Guerrero Nahuatl;nhe E. Huasteca Nahuatl;nia Nias;nij Ngaju;niq Nandi;nl Dutch;nnb Nande;no Norwegian;
noa Woun Meu;noe Nimadi;nog Nogai;nr South Ndebele;nso Sepedi;nut Nung (Viet Nam);nv Navajo;ny Chichewa;nyn Nyankole;
nyo Nyoro;nyu Nyungwe;nzi Nzima;oc Occitan;oj Ojibwa;om Oromo;or Odia (Oriya);os Ossetian;otq Querétaro Otomi;
pa Punjabi;pa_Arab Lahnda Punjabi (PK);pag Pangasinan;pam Pampanga;pap Papiamento;pau Palauan;pck Paite Chin;
pcm Nigerian Pidgin;pis Pijin;pl Polish;pmy Papuan Malay;pon Pohnpeian;ppk Uma;prk Parauk;ps Pashto;pt Portuguese;
qu Quechua;qub Huallaga Huánuco Quechua;quc K’iche’;quf Lambayeque Quechua;quh S. Bolivian Quechua;
qup S. Pastaza Quechua;quy Ayacucho Quechua;qvc Cajamarca Quechua;qvi Imbabura H. Quichua;qvz N. Pastaza Quichua;
qxr Cañar H. Quichua;raj Rajasthani;rcf Réunion Creole French;rhg_Latn Rohingya (Latn);rki Rakhine;rkt Rangpuri;
rm Romansh;rmc Carpathian Romani;rn Rundi;ro Romanian;rom Romani;ru Russian;ru_Latn Russian (Latn);rw Kinyarwanda;
rwo Rawa;rwr Marwari (India);sa Sanskrit;sah Yakut;sat_Latn Santali (Latn);sd Sindhi;sda Toraja-Sa’dan;se N. Sami;
seh Sena;sg Sango;sgj Surgujia;shn Shan;shp Shipibo-Conibo;shu Chadian Arabic;si Sinhala;sja Epena;sjp Surjapuri;
sk Slovak;skg Sakalava Malagasy;skr Saraiki;sl Slovenian;sm Samoan;smt Simte;sn Shona;so Somali;spp Supyire Senoufo;
sq Albanian;sr Serbian;srm Saramaccan;srn Sranan Tongo;srr Serer;ss Swati;st Sesotho;stq Saterfriesisch;su Sundanese;
sus Susu;suz Sunwar;sv Swedish;sw Swahili;sxn Sangir;sxu Upper Saxon;syl Sylheti;syl_Latn Sylheti (Latn);syr Syriac;
ta Tamil;ta_Latn Tamil (Latn);tab Tabassaran;taj E. Tamang;tbz Ditammari;tca Ticuna;tcy Tulu;
tdx Tandroy-Mahafaly Malagasy;te Telugu;te_Latn Telugu (Latn);teo Teso;tet Tetum;tg Tajik;th Thai;ti Tigrinya;
tiv Tiv;tk Turkmen;tks Takestani;tlh Klingon;tll Tetela;tly_IR Talysh (Iran);tn Tswana;to Tonga (Tonga Islands);
toj Tojolabal;tpi Tok Pisin;tr Turkish;trp Kok Borok;trw Torwali;ts Tsonga;tsc Tswa;tsg Tausug;tt Tatar;tuc Mutu;
tuf Central Tunebo;tvl Tuvalu;twu Termanu;tyv Tuvinian;tyz Tày;tzh Tzeltal;tzj Tz’utujil;tzo Tzotzil;ubu Umbu-Ungu;
udm Udmurt;ug Uyghur;uk Ukrainian;ur Urdu;uz Uzbek;ve Venda;vec Venetian;vi Vietnamese;vkt Tenggarong Kutai Malay;
wa Walloon;wal Wolaytta;war Waray (Philippines);wo Wolof;xal Kalmyk;xh Xhosa;xmm Manado Malay;xnr Kangri;xog Soga;
yap Yapese;yaq Yaqui;yi Yiddish;ymm Maay;yo Yoruba;yua Yucateco;yue Cantonese;za Zhuang;zap Zapotec;zh Chinese;
zh_Latn Chinese (Latn);zne Zande;zu Zulu;zyj Youjiang Zhuang;zza Zaza
"""

NAMES: dict[str, str] = {
    code: name
    for code, _, name in (
        entry.strip().partition(" ") for entry in _NAMES.replace("\n", "").split(";") if entry.strip()
    )
}
