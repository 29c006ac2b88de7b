"""Words that finding identifiers in Portuguese text depends on, folded (no accents, lower case)."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Stand between the parts of a name and name nobody.
PARTICLES = _words("da das de del della di do dos du e la los van von y")

# Parts of what accounts are called that are in every sentence and nobody's name, however they are written ("Sem Nome",
# "Quem Vê Mais"): they name somebody beside another part alone.
GRAMMAR = _words(
    "ainda com depois enquanto mais muito nem nome para pela pelo por pouco quando que quem sem so um uma"
)

# Parts of names that are words of clinical or everyday Portuguese as well ("há 3 dias", "leite materno"): they are
# somebody's name beside another part of it, after a title, or capitalised within a sentence, and a word otherwise.
COMMON_WORDS = _words(
    """
    abril adulto agosto alegria alto alves amado amparo anjo aurora baixo barriga barros bela belo bento bispo boa
    bom braga branca branco brandao brito campos canto cardoso carmo caro casa castelo castro centro cera chagas clara
    claro conceicao consolo cordeiro costa couto cruz cura dias direita direito divino dor dores duarte dura encarnacao
    esperanca espirito estrela faria ferro filha filho flor flores fonte fontes forte fortes franca franco freitas
    fundo garcia gomes graca grande guerra idade imaculada irma irmao jardim joia jovem junior justa justo lago lagos
    lapa leao leite lima linda linhares lobo longo lua luz maia maio manso mar marco marques mata matos meira mel
    melo menor mesquita milagre moderna moderno moreno morte mota moura nascimento natal negrao neta neto neves nobre
    norte nova nunes ouro paciente pai paixao palma parto pascoa pascoal passos paz pedra pena penha peres pessoa
    pimenta pinheiro pinho pinto pires pontes porto prado prata preta preto prima primo quadros queiroz ramos real
    rego reis remedios ribeiro rios rita rocha rosa sa salles sales salgado salvador sangue santa santana santo santos
    saude seca seco serra setembro severo silveira sobrinho socorro sol sul tavares tia tio toledo torres vale
    valente valle vargas vaz veiga veloso ventura verde viana vida viega vieira vinho virgem vitoria
    celeste cora diva domingos ester gil gloria guia iris lira mara mercedes norma olinda olivia perola regina remo sara
    tais tales urbano vasco vital violeta zoe
    fora nada nao
    baker black brown cook gray green grace hope long may price rice rose small white will young
    """
)

# First names that often have a second one behind them.
COMPOUND = _words("maria ana jose joao luis luiz pedro paulo carlos marcos marco antonio francisco rosa")
# Who is written about, before their name.
PATIENT = _words("paciente pacte pcte pct pac menor")
# Before somebody's name.
ADDRESSED = _words("sr sra srta senhor senhora dona dr dra doutor doutora prof profa enf enfa mr mrs")
TITLES = ADDRESSED | _words("seu d enfermeiro enfermeira tec tecnico tecnica medico medica nome")
KIN = _words(
    """
    mae pai filho filha esposo esposa marido mulher irmao irma avo neto neta tio tia primo prima sobrinho sobrinha
    cunhado cunhada sogro sogra genro nora padrasto madrasta cuidador cuidadora acompanhante responsavel vizinho
    vizinha namorado namorada companheiro companheira amigo amiga chamado chamada
    """
)

# Parts of an address that say nothing of where.
ADDRESS_WORDS = _words(
    """
    alameda andar ap apartamento apto area av avenida bairro beco bl bloco casa centro cep cidade cj complemento
    condominio conjunto edificio estrada fundos jardim largo lote numero parque praca predio quadra rodovia rua
    rural sala setor sitio sobrado torre travessa viela vila zona brasil brazil street suite unit road avenue drive
    """
)

_MONTHS = (
    ("janeiro", "jan", "january"), ("fevereiro", "fev", "february", "feb"), ("marco", "mar", "march"),
    ("abril", "abr", "april", "apr"), ("maio", "mai", "may"), ("junho", "jun", "june"), ("julho", "jul", "july"),
    ("agosto", "ago", "august", "aug"), ("setembro", "set", "september", "sept", "sep"),
    ("outubro", "out", "october", "oct"), ("novembro", "nov", "november"), ("dezembro", "dez", "december", "dec"),
)  # fmt: skip
MONTHS = {name: number for number, names in enumerate(_MONTHS, start=1) for name in names}
FULL_MONTHS = tuple(names[0] for names in _MONTHS)

_UNITS = ("um", "dois", "tres", "quatro", "cinco", "seis", "sete", "oito", "nove")
_TEENS = ("dez", "onze", "doze", "treze", "quatorze", "quinze", "dezesseis", "dezessete", "dezoito", "dezenove")
_TENS = ("vinte", "trinta", "quarenta", "cinquenta", "sessenta", "setenta", "oitenta", "noventa")
NUMBER_WORDS = (
    {"primeiro": 1, "catorze": 14}
    | {word: number for number, word in enumerate(_UNITS + _TEENS, start=1)}
    | {word: number * 10 for number, word in enumerate(_TENS, start=2)}
)
